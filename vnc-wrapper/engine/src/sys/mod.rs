//! System calls that the engine needs, one module a family. No policy here: a function is one call with checked arguments.
