"""Running servers: what ends them, who is told, and how they get more time."""
