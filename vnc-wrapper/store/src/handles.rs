//! Open files, kept for the next use, and never more than a process may have.

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;

/// How many are kept. Many systems allow a process 1,024.
const KEPT: usize = 128;

/// Files that stay open until there are too many of them.
#[derive(Debug)]
pub(crate) struct Handles<K> {
    files: Mutex<HashMap<K, Arc<File>>>,
}

impl<K> Default for Handles<K> {
    fn default() -> Self {
        Self { files: Mutex::new(HashMap::new()) }
    }
}

impl<K: Eq + Hash> Handles<K> {
    /// The file of that key; `open` is asked for it where it is not open.
    pub(crate) fn get(&self, key: K, open: impl FnOnce() -> Result<File>) -> Result<Arc<File>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&key) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(open()?);
        if files.len() >= KEPT {
            files.clear();
        }
        files.insert(key, Arc::clone(&file));
        Ok(file)
    }
}
