//! One integration binary: what the product does, seen from outside its parts.

mod wire;
