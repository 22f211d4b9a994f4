//! What is defined: functions, classes, and functions bound to parameters or other options.
//!
//! A definition is immutable and has an id of its own; a function names the one that is in force. So a
//! redeploy changes one name, and a rollback names an older one.

use std::collections::BTreeMap;

use bytes::Bytes;
use moorline_modal_proto::client::{
    AutoscalerSettings, ClassHandleMetadata, Function, FunctionData, FunctionHandleMetadata,
    FunctionOptions, MethodDefinition, Schedule, WebhookConfig,
};
use serde::{Deserialize, Serialize};

use super::options;
use super::stored::Stored;
use crate::ids;

/// Everything that is defined.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Catalog {
    functions: BTreeMap<String, Entry>,
    classes: BTreeMap<String, Class>,
    /// By definition id.
    definitions: BTreeMap<String, Definition>,
}

/// One definition of a function. It stays for as long as the function does: a rollback may name it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Definition {
    function_id: String,
    data: Stored<FunctionData>,
}

/// One function.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) app_id: String,
    /// The definition in force; absent between precreate and create.
    pub(crate) definition_id: Option<String>,
    /// The newest definition, which the next publish of the app puts in force.
    pub(crate) newest: Option<String>,
    /// What a precreate said, while there is no definition.
    draft: Stored<FunctionData>,
    /// Counts changes of the definition. Containers of an older one take no more inputs.
    pub(crate) generation: u64,
    /// When the definition came in force; seconds since 1970.
    #[serde(default)]
    pub(crate) in_force_since: f64,
    /// What `update_autoscaler` set since the last deploy.
    pub(crate) overrides: Stored<AutoscalerSettings>,
    pub(crate) bound: Option<Bound>,
    /// URLs by method; the empty name is the function itself.
    pub(crate) web: BTreeMap<String, String>,
}

/// How a bound function differs from the one that it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) base: String,
    #[serde(with = "super::stored::base64_bytes")]
    pub(crate) params: Bytes,
    pub(crate) options: Stored<FunctionOptions>,
    /// Instead of the definition that is in force for the base.
    pub(crate) definition_id: Option<String>,
}

/// One class.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Class {
    pub(crate) app_id: String,
}

/// A function as a container runs it.
#[derive(Debug, Clone)]
pub(crate) struct Effective {
    pub(crate) function_id: String,
    /// The function itself, or what it is bound to.
    pub(crate) base_id: String,
    pub(crate) app_id: String,
    pub(crate) function: Function,
    /// Of a bound class.
    pub(crate) params: Bytes,
    pub(crate) generation: u64,
}

impl Catalog {
    pub(crate) fn function(&self, id: &str) -> Option<&Entry> {
        self.functions.get(id)
    }

    pub(crate) fn function_mut(&mut self, id: &str) -> Option<&mut Entry> {
        self.functions.get_mut(id)
    }

    /// Ids and entries of an app's functions, bound ones included.
    pub(crate) fn of_app<'c>(
        &'c self,
        app_id: &'c str,
    ) -> impl Iterator<Item = (&'c str, &'c Entry)> {
        let all = self
            .functions
            .iter()
            .map(|(id, entry)| (id.as_str(), entry));
        all.filter(move |(_, entry)| entry.app_id == app_id)
    }

    /// Ids of all functions.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.functions
            .iter()
            .map(|(id, entry)| (id.as_str(), entry))
    }

    /// Makes room for a function, or takes the one that there is.
    pub(crate) fn draft(&mut self, id: Option<&str>, app_id: &str, draft: FunctionData) -> String {
        let id = id.map_or_else(|| ids::new("fu"), str::to_owned);
        let entry = self.functions.entry(id.clone()).or_insert_with(|| Entry {
            app_id: app_id.to_owned(),
            definition_id: None,
            newest: None,
            draft: Stored::default(),
            generation: 0,
            in_force_since: 0.0,
            overrides: Stored::default(),
            bound: None,
            web: BTreeMap::new(),
        });
        entry.draft = Stored(draft);
        id
    }

    /// Takes a definition, and returns its id. An unchanged one keeps it, and so its containers. The first
    /// of a function is in force at once.
    pub(crate) fn define(&mut self, id: &str, data: FunctionData) -> Option<String> {
        let entry = self.functions.get(id)?;
        let known = [&entry.newest, &entry.definition_id];
        let same = |id: &&String| {
            self.definitions
                .get(*id)
                .is_some_and(|known| known.data.0 == data)
        };
        let known = known.into_iter().flatten().find(same).cloned();
        let definition_id = known.unwrap_or_else(|| ids::new("de"));
        let first = entry.definition_id.is_none();
        self.definitions
            .entry(definition_id.clone())
            .or_insert_with(|| Definition {
                function_id: id.to_owned(),
                data: Stored(data),
            });
        if let Some(entry) = self.functions.get_mut(id) {
            entry.newest = Some(definition_id.clone());
        }
        if first {
            self.activate(id, &definition_id);
        }
        Some(definition_id)
    }

    /// Puts a definition in force, and takes back what was set at run time. False for an unknown one.
    pub(crate) fn activate(&mut self, id: &str, definition_id: &str) -> bool {
        if !self.definitions.contains_key(definition_id) {
            return false;
        }
        let Some(entry) = self.functions.get_mut(id) else {
            return false;
        };
        entry.overrides = Stored::default();
        if entry.definition_id.as_deref() != Some(definition_id) {
            entry.definition_id = Some(definition_id.to_owned());
            self.changed(id);
        }
        true
    }

    /// When an app is published, its periods begin anew.
    pub(crate) fn published(&mut self, id: &str, now: f64) {
        if let Some(entry) = self.functions.get_mut(id) {
            entry.in_force_since = now;
        }
    }

    /// The schedule in force.
    pub(crate) fn schedule(&self, id: &str) -> Option<Schedule> {
        let entry = self.functions.get(id)?;
        if entry.bound.is_some() {
            return None;
        }
        let data = &self.definitions.get(entry.definition_id.as_ref()?)?.data.0;
        let first = data.ranked_functions.first()?.function.as_ref();
        let schedule = data.schedule.clone().or_else(|| first?.schedule.clone())?;
        schedule.schedule_oneof.is_some().then_some(schedule)
    }

    /// Forgets functions and classes of apps that are gone.
    pub(crate) fn forget(&mut self, gone: impl Fn(&str) -> bool) {
        self.functions.retain(|_, entry| !gone(&entry.app_id));
        self.classes.retain(|_, class| !gone(&class.app_id));
        let functions = &self.functions;
        self.definitions
            .retain(|_, definition| functions.contains_key(&definition.function_id));
    }

    /// Lets containers of what is in force now take no more inputs.
    pub(crate) fn renew(&mut self, id: &str) {
        self.changed(id);
    }

    /// The function and what is bound to it have a new definition.
    fn changed(&mut self, id: &str) {
        for (other, entry) in &mut self.functions {
            let follows = entry
                .bound
                .as_ref()
                .is_some_and(|b| b.base == id && b.definition_id.is_none());
            if other == id || follows {
                entry.generation += 1;
            }
        }
    }

    /// The function that is bound so: the one that there is, or a new one.
    pub(crate) fn bind(&mut self, bound: Bound) -> Option<String> {
        let base = self.functions.get(&bound.base)?;
        let known = self
            .functions
            .iter()
            .find(|(_, entry)| entry.bound.as_ref() == Some(&bound));
        if let Some((id, _)) = known {
            return Some(id.clone());
        }
        let entry = Entry {
            app_id: base.app_id.clone(),
            definition_id: None,
            newest: None,
            draft: Stored::default(),
            generation: 0,
            in_force_since: 0.0,
            overrides: Stored::default(),
            bound: Some(bound),
            web: BTreeMap::new(),
        };
        let id = ids::new("fu");
        self.functions.insert(id.clone(), entry);
        Some(id)
    }

    /// Makes a class, or keeps the one that there is.
    pub(crate) fn class_create(&mut self, existing: Option<&str>, app_id: &str) -> String {
        let id = existing.map_or_else(|| ids::new("cs"), str::to_owned);
        self.classes.entry(id.clone()).or_insert_with(|| Class {
            app_id: app_id.to_owned(),
        });
        id
    }

    /// The id of the definition in force.
    pub(crate) fn definition_id(&self, id: &str) -> Option<&str> {
        let entry = self.functions.get(id)?;
        match &entry.bound {
            Some(Bound {
                definition_id: Some(pinned),
                ..
            }) => Some(pinned),
            Some(bound) => self.functions.get(&bound.base)?.definition_id.as_deref(),
            None => entry.definition_id.as_deref(),
        }
    }

    /// The definition in force (of a bound function: with its options), with its URLs.
    pub(crate) fn data(&self, id: &str) -> Option<FunctionData> {
        self.data_of(id, self.definition_id(id))
    }

    /// The same for a certain definition.
    fn data_of(&self, id: &str, definition_id: Option<&str>) -> Option<FunctionData> {
        let entry = self.functions.get(id)?;
        let definition = definition_id.and_then(|id| self.definitions.get(id));
        let mut data = match (definition, &entry.bound) {
            (Some(definition), _) => definition.data.0.clone(),
            (None, Some(bound)) => self.functions.get(&bound.base)?.draft.0.clone(),
            (None, None) => entry.draft.0.clone(),
        };
        if let Some(bound) = &entry.bound {
            options::apply(&mut data, &bound.options.0);
        }
        let web = if entry.bound.is_some() {
            BTreeMap::new()
        } else {
            entry.web.clone()
        };
        show_urls(&mut data, &web);
        Some(data)
    }

    /// The function as a container runs it; none before it is defined.
    pub(crate) fn effective(&self, id: &str) -> Option<Effective> {
        let entry = self.functions.get(id)?;
        self.definition_id(id)?;
        let function = self
            .data(id)?
            .ranked_functions
            .into_iter()
            .next()?
            .function?;
        let (base_id, params) = match &entry.bound {
            Some(bound) => (bound.base.clone(), bound.params.clone()),
            None => (id.to_owned(), Bytes::new()),
        };
        Some(Effective {
            function_id: id.to_owned(),
            base_id,
            app_id: entry.app_id.clone(),
            function,
            params,
            generation: entry.generation,
        })
    }

    /// What clients and containers know of a function.
    pub(crate) fn handle(&self, id: &str) -> Option<FunctionHandleMetadata> {
        self.handle_of(id, self.definition_id(id))
    }

    /// What clients know of a function by its last precreate.
    pub(crate) fn drafted(&self, id: &str) -> Option<FunctionHandleMetadata> {
        self.handle_of(id, None)
    }

    /// The newest definition of a function and what clients know of it, whether it is in force or not.
    pub(crate) fn newest(&self, id: &str) -> Option<(FunctionData, FunctionHandleMetadata)> {
        let newest = self.functions.get(id)?.newest.as_deref();
        Some((self.data_of(id, newest)?, self.handle_of(id, newest)?))
    }

    fn handle_of(&self, id: &str, definition_id: Option<&str>) -> Option<FunctionHandleMetadata> {
        let entry = self.functions.get(id)?;
        let data = self.data_of(id, definition_id)?;
        let definition_id = definition_id.unwrap_or_default().to_owned();
        let base_function_id = entry
            .bound
            .as_ref()
            .map(|bound| bound.base.clone())
            .unwrap_or_default();
        let method = |(name, method): (&String, &MethodDefinition)| {
            let handle = FunctionHandleMetadata {
                function_name: method.function_name.clone(),
                function_type: method.function_type,
                web_url: method.web_url.clone(),
                is_method: true,
                use_method_name: name.clone(),
                definition_id: definition_id.clone(),
                function_schema: method.function_schema.clone(),
                supported_input_formats: method.supported_input_formats.clone(),
                supported_output_formats: method.supported_output_formats.clone(),
                app_id: entry.app_id.clone(),
                base_function_id: base_function_id.clone(),
                ..FunctionHandleMetadata::default()
            };
            (name.clone(), handle)
        };
        Some(FunctionHandleMetadata {
            function_name: data.function_name.clone(),
            function_type: data.function_type,
            web_url: data.web_url.clone(),
            is_method: data.is_method,
            class_parameter_info: data.class_parameter_info.clone(),
            method_handle_metadata: data.method_definitions.iter().map(method).collect(),
            function_schema: data.function_schema.clone(),
            supported_input_formats: data.supported_input_formats.clone(),
            supported_output_formats: data.supported_output_formats,
            app_id: entry.app_id.clone(),
            definition_id,
            base_function_id,
            ..FunctionHandleMetadata::default()
        })
    }

    /// What clients know of a class: its service function tells all.
    pub(crate) fn class_handle(&self, id: &str) -> Option<ClassHandleMetadata> {
        self.classes.get(id).map(|_| ClassHandleMetadata::default())
    }

    /// What of a function answers HTTP, by method; the empty name is the function itself.
    pub(crate) fn webhooks(data: &FunctionData) -> BTreeMap<String, WebhookConfig> {
        let of =
            |config: &Option<WebhookConfig>| config.clone().filter(|config| config.r#type != 0);
        let methods = data.method_definitions.iter();
        methods
            .map(|(name, method)| (name.clone(), of(&method.webhook_config)))
            .chain([(String::new(), of(&data.webhook_config))])
            .filter_map(|(name, config)| Some((name, config?)))
            .collect()
    }
}

/// Writes the URLs wherever clients look for them.
fn show_urls(data: &mut FunctionData, web: &BTreeMap<String, String>) {
    let url = |name: &str| web.get(name).cloned().unwrap_or_default();
    data.web_url = url("");
    for (name, method) in &mut data.method_definitions {
        method.web_url = url(name);
    }
    for ranked in &mut data.ranked_functions {
        if let Some(function) = &mut ranked.function {
            function.web_url = url("");
            for (name, method) in &mut function.method_definitions {
                method.web_url = url(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use moorline_modal_proto::client::function_data::RankedFunction;

    use super::*;

    fn data(timeout_secs: u32) -> FunctionData {
        let function = Function {
            timeout_secs,
            ..Function::default()
        };
        FunctionData {
            timeout_secs,
            ranked_functions: vec![RankedFunction {
                rank: 0,
                function: Some(function),
            }],
            ..FunctionData::default()
        }
    }

    fn bound(base: &str, params: &'static [u8]) -> Bound {
        Bound {
            base: base.to_owned(),
            params: Bytes::from_static(params),
            options: Stored::default(),
            definition_id: None,
        }
    }

    #[test]
    fn a_redeploy_reaches_bound_functions_and_can_be_taken_back() {
        let mut catalog = Catalog::default();
        let id = catalog.draft(None, "ap-1", FunctionData::default());
        assert!(catalog.effective(&id).is_none());
        catalog.define(&id, data(1));
        let first = catalog.definition_id(&id).unwrap().to_owned();
        let variant = catalog.bind(bound(&id, b"a")).unwrap();
        assert_eq!(catalog.bind(bound(&id, b"a")), Some(variant.clone()));
        let second = catalog.define(&id, data(2)).unwrap();
        assert_eq!(catalog.definition_id(&id), Some(first.as_str()));
        assert!(catalog.activate(&id, &second));
        let seen = catalog.effective(&variant).unwrap();
        assert_eq!((seen.function.timeout_secs, seen.generation), (2, 1));
        assert_eq!(catalog.define(&id, data(2)), Some(second));
        assert_eq!(catalog.function(&id).unwrap().generation, 2);
        assert!(catalog.activate(&id, &first));
        assert_eq!(
            catalog.effective(&variant).unwrap().function.timeout_secs,
            1
        );
        assert!(!catalog.activate(&id, "de-unknown"));
    }

    #[test]
    fn the_catalog_survives_being_kept() {
        let mut catalog = Catalog::default();
        let id = catalog.draft(None, "ap-1", FunctionData::default());
        catalog.define(&id, data(7));
        catalog.bind(bound(&id, b"\xff")).unwrap();
        let text = serde_json::to_string(&catalog).unwrap();
        let back: Catalog = serde_json::from_str(&text).unwrap();
        assert_eq!(back.handle(&id), catalog.handle(&id));
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}
