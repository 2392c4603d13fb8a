"""Placeholder solver of `linear_model._solve`, until the engine takes its place."""

import numpy as np
from scipy.special import expit, log_expit, logsumexp, softmax


class NewtonCG:
    """Placeholder solver: Newton steps by preconditioned conjugate gradients."""

    def __init__(self, X, targets, loss, alpha, weights, fit_intercept):
        self.X, self.targets, self.loss, self.weights = X, targets, loss, weights
        self.n_features, self.n_extra = X.shape[1], int(fit_intercept)
        self.mean = weights @ X / weights.sum() * self.n_extra
        square = X.multiply(X).T @ weights if hasattr(X, "multiply") else weights @ (X * X)
        spread = np.maximum(square - self.mean**2 * weights.sum(), 0.0)
        bound = {"squared": 1.0, "binary": 0.25, "softmax": 0.5}[loss]
        self.alpha = np.append(alpha, np.zeros(self.n_extra))
        scale = np.append(spread, np.full(self.n_extra, weights.sum())) * bound + self.alpha
        self.scale = np.where(scale > 0, scale, 1.0)

    def linear(self, W):
        V = W[:, : self.n_features]
        shift = W[:, self.n_features :].sum(axis=1) - V @ self.mean
        return (self.X @ V.T).T + shift[:, None]

    def pull(self, R):
        R = R * self.weights
        total = R.sum(axis=1, keepdims=True)
        return np.hstack([(self.X.T @ R.T).T - total * self.mean, total[:, : self.n_extra]])

    def value(self, W):
        z, t = self.linear(W), self.targets
        if self.loss == "squared":
            rows = 0.5 * ((z - t) ** 2).sum(axis=0)
        elif self.loss == "binary":
            rows = -(t * log_expit(z) + (1 - t) * log_expit(-z)).sum(axis=0)
        else:
            rows = logsumexp(z, axis=0) - (t * z).sum(axis=0)
        return self.weights @ rows + 0.5 * (self.alpha * W * W).sum()

    def mean_of(self, W):
        z = self.linear(W)
        return {"squared": lambda z: z, "binary": expit, "softmax": lambda z: softmax(z, axis=0)}[
            self.loss
        ](z)

    def gradient(self, W):
        return self.pull(self.mean_of(W) - self.targets) + self.alpha * W

    def hvp(self, P, V):
        D = self.linear(V)
        if self.loss == "binary":
            D = P * (1 - P) * D
        elif self.loss == "softmax":
            D = P * D - P * (P * D).sum(axis=0)
        return self.pull(D) + self.alpha * V

    def norm(self, G):
        return np.sqrt((G * G / self.scale).sum())

    def direction(self, W, G, rel_tol):
        """Conjugate gradients on ``H D = -G``."""
        P, D, R = self.mean_of(W), np.zeros_like(G), -G
        Z = R / self.scale
        S, rz, stop = Z, (R * Z).sum(), rel_tol * self.norm(G)
        for _ in range(20 * G.size + 100):
            HS = self.hvp(P, S)
            bend = (S * HS).sum()
            if bend <= 0:
                break
            D, R = D + rz / bend * S, R - rz / bend * HS
            if self.norm(R) <= stop:
                break
            Z = R / self.scale
            rz, old = (R * Z).sum(), rz
            S = Z + rz / old * S
        return D

    def run(self, tol, max_iter):
        W = np.zeros((len(self.targets), self.n_features + self.n_extra))
        if self.loss == "squared" and self.n_extra:
            W[:, -1] = self.targets @ self.weights / self.weights.sum()
        G, f = self.gradient(W), self.value(W)
        start = self.norm(G)
        if start <= 1e-14 * np.sqrt((self.weights * self.targets**2).sum()):
            return W, 1, 0.0
        for n_iter in range(1, max_iter + 1):
            residual = self.norm(G) / start
            D = self.direction(W, G, 1e-10 if self.loss == "squared" else min(0.1, residual))
            slope, step = (G * D).sum(), 1.0
            while self.value(W + step * D) > f + 1e-4 * step * slope + 1e-14 * abs(f):
                step /= 2
                if step < 1e-10:
                    return W, n_iter, residual
            W = W + step * D
            G, f = self.gradient(W), self.value(W)
            if self.norm(G) <= tol * start:
                break
        return W, n_iter, self.norm(G) / start
