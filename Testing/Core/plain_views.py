"""``make_views`` as one would write it without a thought of speed: what the fast one must equal."""

import numpy as np
import torch
from scipy.ndimage import correlate1d

from voxmmsd.views.pretrain_intensity import draw_pretrain_intensity
from voxmmsd.views.siamese import draw_visible, hide


def plain_views(blocks, recipe, ranges, generator):
    """The image of the views; the draws are made in the same order."""
    rows, channels, size = blocks.image.shape[:3]
    visible = draw_visible(rows, channels, size, recipe, generator)
    draw = draw_pretrain_intensity(rows, channels, ranges, generator)
    if recipe.hide_last:  # each visible cell of a modality that is there is a piece; nothing else is looked at
        shown, side, clean = visible & blocks.informative[:, :, None, None, None], recipe.cell, blocks.image
    else:  # as the authors do: the piece is the whole masked block
        shown, side, clean = torch.ones(rows, channels, 1, 1, 1), size, hide(blocks.image, visible, recipe.cell)
    noise = iter(torch.randn(int(shown.sum()), side, side, side, generator=generator).numpy())
    views = np.zeros(blocks.image.shape)
    for number, (row, channel) in enumerate(np.ndindex(rows, channels)):
        cells = shown[row, channel].nonzero().tolist()
        places = [(row, channel, *(slice(side * n, side * (n + 1)) for n in cell)) for cell in cells]
        pieces = [clean[place].numpy() + draw.noise_std * next(noise) for place in places]
        pieces = np.array([blurred(piece, float(draw.blur_sigma[number])) for piece in pieces])
        pieces = pieces * float(draw.factor[number]) + float(draw.shift[number])
        if len(pieces):
            pieces = (pieces - pieces.mean()) * float(draw.contrast[number]) + pieces.mean()
            low, span = pieces.min(), np.ptp(pieces)
            pieces = ((pieces - low) / span) ** float(draw.gamma[number]) * span + low
        for place, piece in zip(places, pieces, strict=True):
            views[place] = piece
    return views


def blurred(piece, sigma):
    """Gaussian, cut off at 4 sigma, with the edges repeated."""
    if sigma == 0:
        return piece
    offsets = np.arange(-int(4 * sigma), int(4 * sigma) + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    for axis in range(3):
        piece = correlate1d(piece, weights / weights.sum(), axis, mode="nearest")
    return piece
