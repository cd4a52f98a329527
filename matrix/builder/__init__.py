"""Lanes and cells: real make in a build directory that visits configuration after configuration."""
