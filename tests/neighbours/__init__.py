"""What one account or one PDS does never stops the work for the others."""
