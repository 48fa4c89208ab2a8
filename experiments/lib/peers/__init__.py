"""What a user could take instead of the released model.

| file | |
|---|---|
| `baselines` | statistics of log mel, MFCC, an encoder that was never trained |
| `aisfx_hear` | the package `aisfx` behind the HEAR API, for `--model=hear:…` |
"""
