"""The composers: each job joins the rooms above into something a user asks for, and emits events."""
