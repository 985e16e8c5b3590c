"""What the dense tasks measure, in numpy: the confusion matrix and what is read off it, calibration over pixels, the Frechet
distance between two sets of features."""
import numpy as np

IGNORE = 255


def confusion(guess, truth, classes):
    """[K, K] counts, rows: truth; pixels without a label are left out. Adds over images."""
    flags = truth != IGNORE
    pairs = truth[flags].astype(np.int64) * classes + guess[flags]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def scores(m):
    """{miou, accuracy, iou [K], absent} of a confusion matrix; a class in neither truth nor guesses is absent: NaN."""
    m = np.asarray(m, dtype=np.int64)
    right, union = np.diag(m), m.sum(axis=0) + m.sum(axis=1) - np.diag(m)
    iou = np.where(union > 0, right / np.maximum(union, 1), np.nan)
    return {"miou": float(np.nanmean(iou)) if (union > 0).any() else float("nan"), "accuracy": right.sum() / m.sum(),
            "iou": iou, "absent": int((union == 0).sum())}


def calibration_error(p, truth, bins=15):
    """p [K, pixels], truth [pixels]: gaps between confidence and accuracy, by equal bins of confidence (a, b]."""
    flags = truth != IGNORE
    confidence, right = p[:, flags].max(axis=0), p[:, flags].argmax(axis=0) == truth[flags]
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = [abs(confidence[place == b].mean() - right[place == b].mean()) * (place == b).mean()
            for b in range(bins) if (place == b).any()]
    return float(sum(gaps))


def moments(features):
    """(mean [D], covariance [D, D] with divisor n - 1) of features [n, D]."""
    f = np.asarray(features, dtype=np.float64)
    mean = f.mean(axis=0)
    return mean, (f - mean).T @ (f - mean) / (len(f) - 1)


def root(c):
    """R with R R' = C; eigenvalues that are only rounding are 0."""
    values, vectors = np.linalg.eigh((c + c.T) / 2)
    values = np.where(values > len(values) * np.finfo(np.float64).eps * values.max(), values, 0)
    return vectors * np.sqrt(values)


def frechet(m1, c1, m2, c2):
    cross = np.linalg.svd(root(c1).T @ root(c2), compute_uv=False).sum()
    return float(((m1 - m2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * cross)
