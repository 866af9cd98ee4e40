//! arcadia-operator.
