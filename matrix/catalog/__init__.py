"""What kmatrix knows of the world, as TOML: arches, toolchains, bases, knobs, built-in profiles."""
