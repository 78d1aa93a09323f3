"""`mastertape doctor`: one look at everything that a service stands on."""
