"""What a package of sounds holds: files that are all different, and a copyright file."""

import os

import numpy as np
import soundfile

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: kits
Comment: Files: not-a-field
 License: nor this

Files: *
Copyright: 2001, Somebody
License: GPL-2+
 This program is free software
 .
 License: in the text

Files:
 drumkits/Electric.h2drumkit
 drumkits/Gimme?A?Hand?1.0.h2drumkit
Copyright: 2003, Another
License: CC-BY-SA-3.0
 text

Files: etc/samples/a.flac etc/samples/b*.flac
Copyright: none
License: CC0

Files: debian/*
License: MIT

License: CC0
 the text of it
"""


def noise_file(path, seed=0, samples=800, rate=8000, **options):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, samples)
    soundfile.write(path, noise, rate, **options)
