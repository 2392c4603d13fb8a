"""sk_qnbo."""
