//! RFB.
