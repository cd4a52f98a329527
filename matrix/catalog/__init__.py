"""The built-in rows, as TOML: arches, toolchains, bases, knobs, built-in profiles."""
