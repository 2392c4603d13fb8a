"""Names beside the points of a picture, where they cover least."""

import numpy as np

# room for a label, in points
_LABEL_HEIGHT, _LETTER_WIDTH = 10.0, 5.2
# where a label may stand: side of its point, and lines above it; the first are the best
_WAYS = [
    (side, lines)
    for lines in (0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0)
    for side in (1, -1, 0)
    if side or lines
]
_LEADER = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 2}


def name_points(ax, names, x, y, n_names):
    """Names beside the points with the largest ordinates, where they cover least."""
    ax.figure.draw_without_rendering()  # the layout decides where the points are
    to_points = 72.0 / ax.figure.dpi
    at = ax.transData.transform(np.column_stack([x, y])) * to_points
    inside = np.array(ax.bbox.extents) * to_points
    placed, texts = [], []
    for j in np.argsort(-y, kind="stable")[:n_names]:
        width = _LETTER_WIDTH * len(names[j])
        boxes = [_label_box(at[j], width, way) for way in _WAYS]
        costs = [_covered(box, at, placed, inside) for box in boxes]
        best = int(np.argmin(costs))
        placed.append(boxes[best])
        left, bottom = boxes[best][:2] - at[j]
        texts.append(
            ax.annotate(
                names[j],
                (x[j], y[j]),
                xytext=(left, bottom + 2.0),
                textcoords="offset points",
                fontsize=8,
                arrowprops=_LEADER if abs(_WAYS[best][1]) > 1.0 else None,
            )
        )
    return texts


def _label_box(point, width, way):
    """Left, bottom, right, top of a label on a side of a point, so many lines above it."""
    side, lines = way
    left = point[0] + {1: 6.0, 0: -0.5 * width, -1: -6.0 - width}[side]
    bottom = point[1] + (lines - 0.5) * _LABEL_HEIGHT
    return np.array([left, bottom, left + width, bottom + _LABEL_HEIGHT])


def _covered(box, points, placed, inside):
    """How bad a place for a label is: points, labels and the edge it covers."""
    left, bottom, right, top = box
    over = (points[:, 0] > left - 3) & (points[:, 0] < right + 3)
    over &= (points[:, 1] > bottom - 2) & (points[:, 1] < top + 2)
    clash = sum(left < b[2] and b[0] < right and bottom < b[3] and b[1] < top for b in placed)
    out = (left < inside[0]) + (bottom < inside[1]) + (right > inside[2]) + (top > inside[3])
    return int(over.sum()) + 10 * clash + 10 * int(out)
