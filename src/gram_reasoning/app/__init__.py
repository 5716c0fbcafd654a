"""The page of `gram app`: choose a task, edit a puzzle, watch its answers come. Needs the extra `app` (Gradio)."""
