"""Operations on many accounts at once."""
