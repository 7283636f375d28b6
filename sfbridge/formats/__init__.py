"""Other people's formats as they are: Structs and framing. Describes, never decides; knows nothing of ours."""
