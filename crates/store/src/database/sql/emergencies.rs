//! Statements over the tables of [`EmergencyStore`](crate::EmergencyStore).

statements! {
    EMERGENCY_INSERT = "INSERT INTO emergencies (id, state, doc) VALUES ($1, $2, $3)";
    EMERGENCY_UPDATE = "UPDATE emergencies SET state = $1, doc = $2 WHERE id = $3";
    EMERGENCY_GET = "SELECT doc FROM emergencies WHERE id = $1";
    EMERGENCIES = "SELECT doc FROM emergencies ORDER BY id DESC";
    EMERGENCIES_STATE = "SELECT doc FROM emergencies WHERE state = $1 ORDER BY id DESC";
}
