//! Boots images and looks at them from outside.
