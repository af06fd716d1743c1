// SPDX-License-Identifier: Apache-2.0
#include "fs/service.h"

#include "blockstore/base/flat_json.h"
#include "fs/path_text.h"
#include "fs/service_access.h"
#include "fs/service_call.h"

namespace amberfs {
namespace {

std::unexpected<Error> bad_member(const char* key, const char* expected) {
  return fail(Errc::kBadRequest, 0, std::string("read request: ") + expected + " is expected", key);
}

Handler find_handler(std::string_view name) {
  for (const auto commands : {snapshot_commands(), file_commands(), change_commands(),
                              health_commands(), chain_commands(), audit_commands()}) {
    for (const Command& command : commands) {
      if (command.name == name) return command.run;
    }
  }
  return nullptr;
}

Result<Reply> dispatch(Engine& engine, std::string_view text, const ProgressSink& progress,
                       const Caller& caller) {
  const Json request = parse_flat_json(text);
  if (!request.is_object()) return fail(Errc::kBadRequest, 0, "read request: not a JSON object");
  const auto command = request.find("command");
  if (command == request.end() || !command->is_string()) return bad_member("command", "a text");
  const auto& name = command->get_ref<const std::string&>();
  const Handler handler = find_handler(name);
  if (handler == nullptr) return fail(Errc::kBadRequest, 0, "no such command", name);
  TRY(check_access(caller, request, engine.config().access_group));
  return handler(Call(engine, request, progress));
}

}  // namespace

Result<Reply> Service::call(std::string_view request_json, const ProgressSink& progress,
                            const Caller& caller) {
  // The JSON library reports what it cannot do by exceptions; none leaves this module.
  try {
    return dispatch(engine_, request_json, progress, caller);
  } catch (const nlohmann::json::exception& e) {
    return fail(Errc::kBadRequest, 0, std::string("handle request: ") + e.what());
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, 0, "handle request: out of memory");
  } catch (const std::exception& e) {
    return fail(Errc::kUnsupported, 0, std::string("handle request: ") + e.what());
  }
}

Result<std::string> Call::text(const char* key, std::string otherwise) const {
  const auto it = request_.find(key);
  if (it == request_.end()) return otherwise;
  if (!it->is_string()) return bad_member(key, "a text");
  return it->get<std::string>();
}

Result<bool> Call::flag(const char* key, bool otherwise) const {
  const auto it = request_.find(key);
  if (it == request_.end()) return otherwise;
  if (!it->is_boolean()) return bad_member(key, "true or false");
  return it->get<bool>();
}

Result<std::uint64_t> Call::number(const char* key, std::uint64_t otherwise) const {
  const auto it = request_.find(key);
  if (it == request_.end()) return otherwise;
  if (!it->is_number_unsigned()) return bad_member(key, "a whole number");
  return it->get<std::uint64_t>();
}

Result<std::vector<std::string>> Call::texts(const char* key) const {
  std::vector<std::string> list;
  const auto it = request_.find(key);
  if (it == request_.end()) return list;
  if (!it->is_array()) return bad_member(key, "a list of texts");
  for (const Json& element : *it) {
    if (!element.is_string()) return bad_member(key, "a list of texts");
    list.push_back(element.get<std::string>());
  }
  return list;
}

Result<std::string> Call::path(const char* key) const {
  TRY_ASSIGN(std::string text, this->text(key));
  const auto decoded = decode_path(text);
  if (!decoded) return fail(Errc::kBadRequest, 0, "read path: a backslash without xNN", text);
  return normal_path(*decoded);
}

Result<std::vector<std::string>> Call::paths(const char* key) const {
  TRY_ASSIGN(auto list, texts(key));
  for (std::string& text : list) {
    const auto decoded = decode_path(text);
    if (!decoded) return fail(Errc::kBadRequest, 0, "read path: a backslash without xNN", text);
    text = normal_path(*decoded);
  }
  return list;
}

Json Call::raw(const char* key) const {
  const auto it = request_.find(key);
  return it == request_.end() ? Json() : *it;
}

Result<Manifest> Call::snapshot(const char* key) const {
  TRY_ASSIGN(std::string snap, text(key));
  return engine_.catalog().resolve(snap);
}

Result<std::shared_ptr<const View>> Call::view(const char* key) const {
  TRY_ASSIGN(std::string snap, text(key));
  if (snap == "live") return engine_.live_view();
  TRY_ASSIGN(Manifest manifest, engine_.catalog().resolve(snap));
  return engine_.view_of(manifest).view;
}

Json to_json(const Manifest& manifest) {
  return Json{{"id", manifest.id},
              {"sequence", manifest.sequence},
              {"time", format_time(manifest.time_ns)},
              {"name", manifest.name},
              {"reason", manifest.reason},
              {"kind", manifest.kind},
              {"root", manifest.root.to_hex()},
              {"previous", manifest.previous_id},
              {"inodes", manifest.totals.inode_count},
              {"logical_bytes", manifest.totals.logical_bytes},
              {"changed_bytes", manifest.changed_bytes},
              {"stored_bytes", manifest.stored_bytes}};
}

Reply make_reply(const Json& json, Bytes payload) {
  return {json.dump(-1, ' ', false, Json::error_handler_t::replace), std::move(payload)};
}

}  // namespace amberfs
