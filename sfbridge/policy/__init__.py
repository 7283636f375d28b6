"""Decisions as functions of (request, facts, numbers): where it goes, what fits, what it weighs, who may ask."""
