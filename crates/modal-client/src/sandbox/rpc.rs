//! The calls about sandboxes that the control plane takes, of both APIs.

use crate::rpc::control_plane;

control_plane! {
    CONNECT_TOKEN = SandboxCreateConnectToken(SandboxCreateConnectTokenRequest)
        -> SandboxCreateConnectTokenResponse, Keyed;
    CONNECT_TOKEN_V2 = SandboxCreateConnectTokenV2(SandboxCreateConnectTokenRequest)
        -> SandboxCreateConnectTokenResponse, Keyed;
    CREATE = SandboxCreate(SandboxCreateRequest) -> SandboxCreateResponse, Keyed;
    CREATE_V2 = SandboxCreateV2(SandboxCreateV2Request) -> SandboxCreateV2Response, Keyed;
    EXIT_SNAPSHOT = SandboxGetExitSnapshot(SandboxGetExitSnapshotRequest)
        -> SandboxGetExitSnapshotResponse, Read;
    EXIT_SNAPSHOT_V2 = SandboxGetExitSnapshotV2(SandboxGetExitSnapshotRequest)
        -> SandboxGetExitSnapshotResponse, Read;
    FROM_NAME = SandboxGetFromName(SandboxGetFromNameRequest) -> SandboxGetFromNameResponse, Read;
    FROM_NAME_V2 = SandboxGetFromNameV2(SandboxGetFromNameRequest) -> SandboxGetFromNameResponse, Read;
    GET_LOGS = SandboxGetLogs(SandboxGetLogsRequest) -> TaskLogsBatch, Read;
    LIST_V2 = SandboxListV2(SandboxListRequest) -> SandboxListResponse, Read;
    RESTORE = SandboxRestore(SandboxRestoreRequest) -> SandboxRestoreResponse, Keyed;
    RESTORE_V2 = SandboxRestoreV2(SandboxRestoreV2Request) -> SandboxRestoreV2Response, Keyed;
    SET_NAME = SandboxSetName(SandboxSetNameRequest) -> SandboxSetNameResponse, Read;
    SNAPSHOT = SandboxSnapshot(SandboxSnapshotRequest) -> SandboxSnapshotResponse, Keyed;
    SNAPSHOT_GET = SandboxSnapshotGet(SandboxSnapshotGetRequest) -> SandboxSnapshotGetResponse, Read;
    SNAPSHOT_WAIT = SandboxSnapshotWait(SandboxSnapshotWaitRequest) -> SandboxSnapshotWaitResponse, Read;
    STDIN_WRITE = SandboxStdinWrite(SandboxStdinWriteRequest) -> SandboxStdinWriteResponse, Read;
    TAGS_GET = SandboxTagsGet(SandboxTagsGetRequest) -> SandboxTagsGetResponse, Read;
    TAGS_GET_V2 = SandboxTagsGetV2(SandboxTagsGetRequest) -> SandboxTagsGetResponse, Read;
    TAGS_SET = SandboxTagsSet(SandboxTagsSetRequest) -> Empty, Read;
    TAGS_SET_V2 = SandboxTagsSetV2(SandboxTagsSetRequest) -> Empty, Read;
    TASK_ID = SandboxGetTaskId(SandboxGetTaskIdRequest) -> SandboxGetTaskIdResponse, Read;
    TASK_ID_V2 = SandboxGetTaskIdV2(SandboxGetTaskIdRequest) -> SandboxGetTaskIdResponse, Read;
    TERMINATE = SandboxTerminate(SandboxTerminateRequest) -> SandboxTerminateResponse, Read;
    TERMINATE_V2 = SandboxTerminateV2(SandboxTerminateRequest) -> SandboxTerminateResponse, Read;
    TUNNELS = SandboxGetTunnels(SandboxGetTunnelsRequest) -> SandboxGetTunnelsResponse, Read;
    TUNNELS_V2 = SandboxGetTunnelsV2(SandboxGetTunnelsRequest) -> SandboxGetTunnelsResponse, Read;
    WAIT = SandboxWait(SandboxWaitRequest) -> SandboxWaitResponse, Read;
    WAIT_V2 = SandboxWaitV2(SandboxWaitRequest) -> SandboxWaitResponse, Read;
}
