"""A classifier of one's own on the encoder: labels train a head first, then all of it."""

import keras
import numpy as np

from audio_triplet import audio, features


def train_head(model, paths, labels, epochs=10):
    """`model`: `audio_triplet.load()`; `labels`: a class number for each path."""
    mels = [features.patches(features.mel_energies(audio.load_audio(path))) for path in paths]
    log_mel = np.concatenate([features.log_mel(mel) for mel in mels])  # [patches, 96, 64]
    of_patches = np.repeat(labels, [len(mel) for mel in mels])
    inputs = keras.Input(log_mel.shape[1:])
    head = keras.layers.Dense(max(labels) + 1, activation="softmax")
    classifier = keras.Model(inputs, head(model.encoder(inputs)))
    for trainable, rate in ((False, 1e-2), (True, 1e-4)):  # frozen; fine-tuned
        model.encoder.trainable = trainable
        classifier.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        classifier.fit(log_mel, of_patches, epochs=epochs, verbose=0)
    return classifier
