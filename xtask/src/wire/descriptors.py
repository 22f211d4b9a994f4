"""Prints every fact of Modal's protocol that the installed official package knows, one a line.

A line is KIND, NAME and VALUE, divided by tabs, as `xtask/src/wire/facts.rs` makes them of our own
files.
"""

from google.protobuf.descriptor import FieldDescriptor
from modal_proto import api_pb2, task_command_router_pb2

SCALARS = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}


def type_of(field):
    if field.message_type is not None:
        message = field.message_type
        if message.GetOptions().map_entry:
            key, value = (message.fields_by_name[name] for name in ("key", "value"))
            return f"map<{type_of(key)}, {type_of(value)}>"
        return message.full_name
    if field.enum_type is not None:
        return field.enum_type.full_name
    return SCALARS[field.type]


def label_of(field):
    if field.is_repeated:
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        return "" if is_map else "repeated "
    oneof = field.containing_oneof
    if oneof is None:
        return ""
    synthetic = len(oneof.fields) == 1 and oneof.name == f"_{field.name}"
    return "optional " if synthetic else f"oneof {oneof.name}: "


def messages(message):
    if message.GetOptions().map_entry:
        return
    print("message", message.full_name, "", sep="\t")
    for field in message.fields:
        value = f"{field.number} {label_of(field)}{type_of(field)}"
        print("field", f"{message.full_name}.{field.name}", value, sep="\t")
    for enum in message.enum_types:
        enums(enum)
    for nested in message.nested_types:
        messages(nested)


def enums(enum):
    for value in enum.values:
        print("value", f"{enum.full_name}.{value.name}", value.number, sep="\t")


def main():
    for module in (api_pb2, task_command_router_pb2):
        file = module.DESCRIPTOR
        for service in file.services_by_name.values():
            for method in service.methods:
                takes = "stream " * method.client_streaming + method.input_type.full_name
                gives = "stream " * method.server_streaming + method.output_type.full_name
                print("rpc", method.full_name, f"({takes}) returns ({gives})", sep="\t")
        for message in file.message_types_by_name.values():
            messages(message)
        for enum in file.enum_types_by_name.values():
            enums(enum)


main()
