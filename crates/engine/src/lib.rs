//! Loads state, asks the model, commits, performs effects.
