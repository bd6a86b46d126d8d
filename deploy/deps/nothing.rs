// Empty on purpose: cargo wants a target file before it fetches what Cargo.toml pins.
