//! Starts a backend, wires the flow, runs scenarios, judges
