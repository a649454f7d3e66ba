//! What one consumer of JSON does not get to see.

use serde_json::Value;
use std::any::Any;
use std::fmt;

type HidesObject = Box<dyn Fn(&dyn Any) -> bool + Send + Sync>;
type HidesId = Box<dyn Fn(&str, &str) -> bool + Send + Sync>;
type HidesValue = Box<dyn Fn(&[String], &Value) -> bool + Send + Sync>;

/// What one consumer of JSON does not get to see: whole types of messages, objects, fields.
///
/// A consumer makes one and hands it to [`Message::to_json_with`](crate::Message::to_json_with); other consumers of the
/// same messages see everything. It says what to hide in two ways, and either is enough:
///
/// - Of objects as the program has them: [`hide_where`](Self::hide_where), [`hide_id`](Self::hide_id). The value of each
///   message is asked about by itself, and a message whose value is hidden has no JSON form. Objects *inside* a value are
///   asked about by the type's formatter, through [`hides`](Self::hides) and [`hides_id`](Self::hides_id) (see
///   [`TypeBuilder::json_for`](crate::TypeBuilder::json_for)).
/// - Of the JSON that comes out: [`hide_field`](Self::hide_field), [`hide_value`](Self::hide_value). That needs no help
///   from formatters.
///
/// What is hidden in an object or an array is left out of it. A panic in a closure is caught and counted as the
/// formatter's, and hides the whole message. Without anything to hide, a sanitizer costs nothing.
///
/// ```
/// use serde_json::json;
/// use stasis_bus::{Bus, JsonSanitizer};
///
/// struct Channel { name: String, internal: bool }
/// struct Bridge { id: u32, channels: Vec<Channel> }
///
/// let bus = Bus::builder().manual().build()?;
/// let bridges = bus
///     .define::<Bridge>("bridge")
///     .json_for(|bridge, _, sanitizer| {
///         let visible = bridge.channels.iter().filter(|channel| !sanitizer.hides(*channel));
///         let names: Vec<_> = visible.map(|channel| channel.name.as_str()).collect();
///         Some(json!({ "id": bridge.id, "pin": 4711, "channels": names }))
///     })
///     .declare()?;
/// let channels = ["PJSIP/alice-1", "Local/spy-2"]
///     .map(|name| Channel { name: name.to_owned(), internal: name.starts_with("Local/") });
/// let message = bridges.message(Bridge { id: 7, channels: channels.into() });
///
/// let outsider = JsonSanitizer::new()
///     .hide_where(|channel: &Channel| channel.internal)
///     .hide_field("pin");
/// let seen = json!({ "id": 7, "channels": ["PJSIP/alice-1"] });
/// assert_eq!(message.to_json_with(&outsider), Some(seen));
/// assert_eq!(message.to_json().unwrap()["channels"][1], "Local/spy-2");
///
/// let stranger = JsonSanitizer::new().hide_type("bridge");
/// assert_eq!(message.to_json_with(&stranger), None);
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Default)]
#[must_use = "it hides nothing before it is given to to_json_with()"]
pub struct JsonSanitizer {
    types: Vec<String>,
    objects: Vec<HidesObject>,
    ids: Vec<HidesId>,
    fields: Vec<Vec<String>>,
    values: Vec<HidesValue>,
}

impl JsonSanitizer {
    /// Hides nothing yet.
    pub const fn new() -> Self {
        Self {
            types: Vec::new(),
            objects: Vec::new(),
            ids: Vec::new(),
            fields: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Hides messages of the type of that name.
    pub fn hide_type(mut self, name: impl Into<String>) -> Self {
        self.types.push(name.into());
        self
    }

    /// Hides every `T` that `is_hidden` says: messages that have one as their value, and what a formatter asks about.
    pub fn hide_where<T: 'static>(mut self, is_hidden: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        self.objects.push(Box::new(move |object| object.downcast_ref().is_some_and(&is_hidden)));
        self
    }

    /// Hides every object of that class, such as `"channel"`, whose id `is_hidden` says, where a formatter has only the id
    /// and asks about that.
    pub fn hide_id(
        mut self,
        class: impl Into<String>,
        is_hidden: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        let ours = class.into();
        self.ids.push(Box::new(move |class, id| class == ours && is_hidden(id)));
        self
    }

    /// Hides a field of the JSON form, by its path: names with dots between them, `*` for any name and for any element of
    /// an array (`"channels.*.secret"`). A name that has a dot itself is for [`hide_value`](Self::hide_value).
    pub fn hide_field(mut self, path: &str) -> Self {
        self.fields.push(path.split('.').map(str::to_owned).collect());
        self
    }

    /// Hides what `is_hidden` says, wherever it is in the JSON form. It gets the way there (names, and the places in
    /// arrays as numbers) and the value; first with an empty way the whole, which hides the message.
    pub fn hide_value(
        mut self,
        is_hidden: impl Fn(&[String], &Value) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.values.push(Box::new(is_hidden));
        self
    }

    /// Whether `object` is hidden: for formatters.
    pub fn hides<T: 'static>(&self, object: &T) -> bool {
        self.objects.iter().any(|is_hidden| is_hidden(object))
    }

    /// Whether the object of that class and id is hidden: for formatters.
    pub fn hides_id(&self, class: &str, id: &str) -> bool {
        self.ids.iter().any(|is_hidden| is_hidden(class, id))
    }

    pub(super) fn hides_type(&self, name: &str) -> bool {
        self.types.iter().any(|hidden| hidden == name)
    }

    /// What is left of a message's JSON form.
    pub(super) fn apply(&self, mut json: Value) -> Option<Value> {
        let nothing_to_do = self.fields.is_empty() && self.values.is_empty();
        (nothing_to_do || self.keeps(&mut Vec::new(), &mut json)).then_some(json)
    }

    /// Whether `value` stays; what is hidden inside it is taken out.
    fn keeps(&self, way: &mut Vec<String>, value: &mut Value) -> bool {
        if self.hides_at(way, value) {
            return false;
        }
        match value {
            Value::Object(fields) => fields.retain(|name, value| self.keeps_in(way, name.clone(), value)),
            Value::Array(items) => {
                let mut places = 0_usize..;
                items.retain_mut(|item| {
                    self.keeps_in(way, places.next().unwrap_or_default().to_string(), item)
                });
            }
            _ => {}
        }
        true
    }

    fn keeps_in(&self, way: &mut Vec<String>, step: String, value: &mut Value) -> bool {
        way.push(step);
        let stays = self.keeps(way, value);
        way.pop();
        stays
    }

    fn hides_at(&self, way: &[String], value: &Value) -> bool {
        self.fields.iter().any(|path| leads_along(path, way))
            || self.values.iter().any(|is_hidden| is_hidden(way, value))
    }
}

fn leads_along(path: &[String], way: &[String]) -> bool {
    path.len() == way.len() && path.iter().zip(way).all(|(wanted, step)| wanted == "*" || wanted == step)
}

impl fmt::Debug for JsonSanitizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonSanitizer")
            .field("types", &self.types)
            .field("objects", &self.objects.len())
            .field("ids", &self.ids.len())
            .field("fields", &self.fields)
            .field("values", &self.values.len())
            .finish()
    }
}
