def report(*a):
    return ""
