"""synthetic: sounds made by rule, a corpus of any size without a licence or a download."""
