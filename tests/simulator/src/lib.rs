//! An HTTP server that behaves as the DigitalOcean API does, faults included.
