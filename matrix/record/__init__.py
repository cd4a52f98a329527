"""The run on disk: types of outcomes, journal, loading, schema."""
