"""What is sent to a server: nothing leaves this machine for KCIDB but through here."""
