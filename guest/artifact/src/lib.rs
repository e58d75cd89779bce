//! The component as a build product.
