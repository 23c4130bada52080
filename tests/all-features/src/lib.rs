//! Nothing of its own: its tree is what is tested.
