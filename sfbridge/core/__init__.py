"""The vocabulary of the house: requests, pieces, events, answers, errors. Imports nothing of ours."""
