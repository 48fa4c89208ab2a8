"""Unsupervised semantic audio representations from triplets (Jansen et al., ICASSP 2018).

Sub-modules, in the order data flows through them: `manifest`, `audio`, `features`, `pieces`,
`triplets`, `pipeline`, `models`, `mining`, `losses`, `training`, `embedding`, `export`,
`evaluation`. Importing the package itself imports neither TensorFlow nor any of them.
"""

__version__ = "0.1.0"
