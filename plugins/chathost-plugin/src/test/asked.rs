//! What the server in memory answers when it is asked by name. What a test can do without is not there.

use super::world::{Channel, Session, World};
use crate::error::{Error, Result};
use serde_json::{Value, json};

impl World {
    pub(super) fn ask(&mut self, handle: u64, name: &str, args: &[Value]) -> Result<Vec<u8>> {
        let value = match name.split_once('.') {
            Some(("app", function)) => self.app(function, args),
            Some(("channel" | "channelService", function)) => self.channel(function, args),
            Some(("session", function)) => self.own(handle, function, args)?,
            Some(("sessionService", function)) => self.here(function, args),
            Some(("backendSessionService", function)) => {
                self.here(function, args.get(1..).unwrap_or_default())
            }
            _ => None,
        };
        let value = value.ok_or_else(|| Error::host(404, format!("the server in memory has no {name}")))?;
        Ok(if value.is_null() {
            Vec::new()
        } else {
            value.to_string().into_bytes()
        })
    }

    fn app(&mut self, function: &str, args: &[Value]) -> Option<Value> {
        let me = json!({ "id": format!("{}-server-1", self.server_type), "serverType": self.server_type });
        Some(match function {
            "get" => self.values.get(&text(args, 0)).cloned().unwrap_or_default(),
            "set" => {
                self.values.insert(text(args, 0), value(args, 1));
                Value::Null
            }
            "getCurServer" => me,
            "getEnv" => "test".into(),
            "getServersByType" if text(args, 0) == self.server_type => json!([me]),
            "getServersByType" => json!([]),
            "getServerById" if me["id"] == value(args, 0) => me,
            "dispatch" => value(args, 1).get(0).cloned().unwrap_or_default(),
            "getServerById" | "route" => Value::Null,
            _ => return None,
        })
    }

    fn channel(&mut self, function: &str, args: &[Value]) -> Option<Value> {
        let (name, uid, sid) = (text(args, 0), text(args, 1), text(args, 2));
        if let "add" | "createChannel" = function {
            self.channels.entry(name.clone()).or_default();
        }
        let mut nowhere = Channel::default();
        let channel = self.channels.get_mut(&name);
        let known = channel.is_some();
        let channel = channel.unwrap_or(&mut nowhere);
        Some(match function {
            "createChannel" => Value::Null,
            "getChannel" => known.into(),
            "destroyChannel" => {
                self.channels.remove(&name);
                Value::Null
            }
            "add" => {
                self.add(&name, &uid, &sid);
                true.into()
            }
            "leave" => {
                let before = channel.members.len();
                channel
                    .members
                    .retain(|(member, at)| *member != uid || *at != sid);
                let left = channel.members.len() < before;
                if left && channel.members.is_empty() {
                    self.channels.remove(&name);
                }
                left.into()
            }
            "getMembers" => self.members(&name).into(),
            "getMember" => {
                let member = channel.members.iter().find(|(member, _)| *member == uid);
                member.map_or(Value::Null, |(uid, sid)| json!({ "uid": uid, "sid": sid }))
            }
            "getUserAmount" => channel.members.len().into(),
            "get" => channel.values.get(&uid).cloned().unwrap_or_default(),
            "set" => {
                channel.values.insert(uid, value(args, 2));
                Value::Null
            }
            _ => return None,
        })
    }

    fn own(&mut self, handle: u64, function: &str, args: &[Value]) -> Result<Option<Value>> {
        let view = self.views.get(&handle).cloned();
        let view = view.ok_or_else(|| Error::host(404, "there is no such session handle".to_owned()))?;
        let session = self.sessions.get_mut(&view.sid);
        let session =
            session.ok_or_else(|| Error::host(500, format!("session does not exist, sid: {}", view.sid)))?;
        let (key, uid) = (text(args, 0), session.uid.clone());
        Ok(Some(match function {
            "export" => {
                json!({ "id": view.sid, "frontendId": session.frontend_id, "uid": uid, "settings": view.settings })
            }
            "bind" if !uid.is_empty() && uid != key => {
                return Err(Error::host(500, format!("session has already bind with {uid}")));
            }
            "bind" => {
                session.uid = key;
                Value::Null
            }
            "unbind" => {
                session.uid = String::new();
                Value::Null
            }
            "push" => {
                session
                    .settings
                    .insert(key.clone(), view.settings.get(&key).cloned().unwrap_or_default());
                Value::Null
            }
            "pushAll" => {
                session.settings.extend(view.settings);
                Value::Null
            }
            "on" => {
                session.listeners.push((key, text(args, 1)));
                Value::Null
            }
            _ => return Ok(None),
        }))
    }

    fn here(&mut self, function: &str, args: &[Value]) -> Option<Value> {
        let uid = text(args, 0);
        let sids = |which: &dyn Fn(&u64, &Session) -> bool| -> Vec<u64> {
            let found = self.sessions.iter().filter(|(sid, session)| which(sid, session));
            found.map(|(sid, _)| *sid).collect()
        };
        let sid = args.first().and_then(Value::as_u64).unwrap_or_default();
        let found = match function {
            "get" | "kickBySid" | "kickBySessionId" => sids(&|of, _| *of == sid),
            "getByUid" | "kick" | "kickByUid" => sids(&|_, session| session.uid == uid && !uid.is_empty()),
            "getAllBinded" => sids(&|_, session| !session.uid.is_empty()),
            "getAll" | "getSessionsCount" => sids(&|_, _| true),
            "on" => Vec::new(),
            _ => return None,
        };
        Some(match function {
            "getSessionsCount" => found.len().into(),
            "on" => Value::Null,
            _ if function.starts_with("kick") => {
                found.iter().for_each(|sid| drop(self.sessions.remove(sid)));
                Value::Null
            }
            "get" => found.first().map_or(Value::Null, |sid| self.given(*sid)),
            _ => found.iter().map(|sid| self.given(*sid)).collect(),
        })
    }

    fn given(&mut self, sid: u64) -> Value {
        json!({ "handle": self.view(sid), "id": sid })
    }
}

fn value(args: &[Value], place: usize) -> Value {
    args.get(place).cloned().unwrap_or_default()
}

fn text(args: &[Value], place: usize) -> String {
    match args.get(place) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}
