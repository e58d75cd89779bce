//! The simulator, the demo, and every suite that crosses a border.
