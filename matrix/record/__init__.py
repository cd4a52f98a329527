"""The run on disk: types, states, journal, loading; and the events while it is made."""
