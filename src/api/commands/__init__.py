"""What a person may do with a track: load, tell, save. No HTTP in here."""
