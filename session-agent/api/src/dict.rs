//! Records that travel as `a{sv}`.

use std::collections::{BTreeMap, HashMap};

use zbus::zvariant::{Fd, OwnedFd, OwnedValue, Value};

use crate::error::{Error, ErrorKind, Result};

/// `a{sv}` as it is on the bus.
pub type Dict = HashMap<String, OwnedValue>;

/// A record with named fields. An absent key is the field's default.
pub trait Dictionary: Sized {
    /// Its keys.
    const KEYS: &'static [&'static str];

    /// The record as it travels.
    fn to_dict(&self) -> Dict;

    /// Reads what is known and passes over what is not.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] names the key whose value has the wrong type.
    fn from_dict(dict: &Dict) -> Result<Self>;

    /// Reads options: a key that is not known is refused by name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] names the key.
    fn from_options(dict: &Dict) -> Result<Self> {
        let mut unknown: Vec<&str> = dict.keys().map(String::as_str).filter(|key| !Self::KEYS.contains(key)).collect();
        unknown.sort_unstable();
        if let Some(key) = unknown.first() {
            let known = if Self::KEYS.is_empty() { "there are none".to_owned() } else { Self::KEYS.join(", ") };
            return Err(Error::new(ErrorKind::InvalidArgument, format!("there is no option {key:?} here"))
                .hint(format!("Known options: {known}.")));
        }
        Self::from_dict(dict)
    }
}

/// A type that can stand in a [`Dictionary`].
pub trait Field: Sized + Default {
    /// The value, or none where it is left out.
    fn put(&self) -> Option<OwnedValue>;
    /// The value read back; none when it has the wrong type.
    fn take(value: &OwnedValue) -> Option<Self>;
}

macro_rules! plain_fields {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn put(&self) -> Option<OwnedValue> {
                OwnedValue::try_from(Value::from(self.clone())).ok()
            }
            fn take(value: &OwnedValue) -> Option<Self> {
                Self::try_from(value.try_clone().ok()?).ok()
            }
        }
    )*};
}

plain_fields!(bool, u16, i32, u32, u64, f64, Vec<String>, HashMap<String, String>);

impl Field for String {
    fn put(&self) -> Option<OwnedValue> {
        // D-Bus has no string with NUL, and a record that is lost for one takes all others of its list with it. Texts pass
        // `freezeframe_text` where they come in; this is for one that did not.
        let text = if self.contains('\0') { self.replace('\0', "\u{fffd}") } else { self.clone() };
        OwnedValue::try_from(Value::from(text)).ok()
    }
    fn take(value: &OwnedValue) -> Option<Self> {
        Self::try_from(value.try_clone().ok()?).ok()
    }
}

impl Field for BTreeMap<String, String> {
    fn put(&self) -> Option<OwnedValue> {
        HashMap::from_iter(self.clone()).put()
    }
    fn take(value: &OwnedValue) -> Option<Self> {
        HashMap::<String, String>::take(value).map(Self::from_iter)
    }
}

macro_rules! optional_fields {
    ($($type:ty),*) => {$(
        impl Field for Option<$type> {
            fn put(&self) -> Option<OwnedValue> {
                self.as_ref().and_then(Field::put)
            }
            fn take(value: &OwnedValue) -> Option<Self> {
                <$type>::take(value).map(Some)
            }
        }
    )*};
}

optional_fields!(u32, u64, String);

impl Field for Option<OwnedFd> {
    fn put(&self) -> Option<OwnedValue> {
        let fd = self.as_ref()?;
        OwnedValue::try_from(Value::from(Fd::from(fd))).ok()
    }
    fn take(value: &OwnedValue) -> Option<Self> {
        let fd = Fd::try_from(value.try_clone().ok()?).ok()?;
        Some(Some(std::os::fd::OwnedFd::try_from(fd).ok()?.into()))
    }
}

impl<T: Dictionary> Field for Vec<T> {
    fn put(&self) -> Option<OwnedValue> {
        let all: Vec<Dict> = self.iter().map(Dictionary::to_dict).collect();
        OwnedValue::try_from(Value::from(all)).ok()
    }
    fn take(value: &OwnedValue) -> Option<Self> {
        let all = Vec::<Dict>::try_from(value.try_clone().ok()?).ok()?;
        all.iter().map(|dict| T::from_dict(dict).ok()).collect()
    }
}

/// Reads one field of `dict`.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] when the value has the wrong type.
pub fn take<T: Field>(dict: &Dict, key: &str) -> Result<T> {
    match dict.get(key) {
        None => Ok(T::default()),
        Some(value) => T::take(value).ok_or_else(|| {
            let text = format!("{key:?} cannot have a value of type {}", value.value_signature());
            Error::new(ErrorKind::InvalidArgument, text)
        }),
    }
}

/// Defines a record whose fields travel as `a{sv}`.
#[macro_export]
macro_rules! dictionary {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::dict::Dictionary for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($field),)*];

            fn to_dict(&self) -> $crate::dict::Dict {
                #[allow(unused_mut, reason = "a record may be without fields")]
                let mut dict = $crate::dict::Dict::new();
                $(if let Some(value) = $crate::dict::Field::put(&self.$field) {
                    dict.insert(stringify!($field).to_owned(), value);
                })*
                dict
            }

            fn from_dict(dict: &$crate::dict::Dict) -> $crate::error::Result<Self> {
                let _ = dict;
                Ok(Self { $($field: $crate::dict::take(dict, stringify!($field))?,)* })
            }
        }
    };
}
