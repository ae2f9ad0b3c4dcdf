from gpuspawner import load_values

load_values(c)
