// SPDX-License-Identifier: Apache-2.0
// amberfs key: the ways to the data key of an encrypted store, mounted or not: only the two files
// of key slots are read and written, no data; then the audit log is told of it.
#include "fs/service.h"
#include "snapshot/manifest.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/session.h"
#include "tools/store_key.h"

#include <fmt/format.h>

#include <algorithm>

namespace amberfs::tools {
namespace {

struct Options {
  std::string target;
  std::string label;
  std::uint32_t slot = 0;  // 0: not said
  KeyFiles fresh;
};

// A mounted directory stands for its store.
Result<std::string> store_of(const std::string& target) {
  TRY_ASSIGN(const auto mounted, find_mounted(target));
  return mounted ? mounted->store : absolute_path(target);
}

Status check_encrypted(Io& io, const std::string& store) {
  TRY_ASSIGN(const Config config, read_config(io, store));
  if (config.encrypted) return ok();
  return fail(Errc::kBadRequest, 0,
              "look at the keys: the store is not encrypted, which init decides", store);
}

Result<StoreSecret> new_secret(const Options& options) {
  TRY_ASSIGN(std::optional<StoreSecret> secret, read_secret(options.fresh));
  if (secret) return *std::move(secret);
  return ask_passphrase("New passphrase", true);
}

Result<int> run_list(const Options& options, const Context& context) {
  const auto io = make_posix_io();
  TRY_ASSIGN(const std::string store, store_of(options.target));
  TRY(check_encrypted(*io, store));
  TRY_ASSIGN(const KeySlots keys, read_key_slots(*io, store));
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows{{"KEY", "KIND", "MADE", "LABEL"}};
  for (const KeySlot& slot : keys.slots()) {
    const std::string made = format_time(slot.created_ns);
    list.push_back(
        {{"key", slot.id}, {"kind", name_of(slot.kind)}, {"created", made}, {"label", slot.label}});
    rows.push_back({std::to_string(slot.id), std::string(name_of(slot.kind)), made, slot.label});
  }
  TRY(context.json ? print(Json{{"store", store}, {"keys", list}}.dump() + "\n")
                   : print(format_table(rows)));
  return kDone;
}

// What was done, for the person and for the audit log.
struct Done {
  std::string text;
  std::string how;  // added, removed, replaced
  KeySlot slot;     // as it is now, or was
};

KeySlot slot_of(const KeySlots& keys, std::uint32_t id) {
  const auto found = std::ranges::find(keys.slots(), id, &KeySlot::id);
  return found != keys.slots().end() ? *found : KeySlot{};
}

// In the audit log: by the server, or by this process with the key that it has.
Status record(Io& io, const std::string& store, const StoreKey& key, const Done& done) {
  const Json request{{"command", "key_changed"},
                     {"how", done.how},
                     {"key", done.slot.id},
                     {"kind", name_of(done.slot.kind)},
                     {"label", done.slot.label}};
  TRY_ASSIGN(const auto mounted, find_mounted(store));
  if (mounted) {
    TRY(ask(store, request));
    return ok();
  }
  TRY_ASSIGN(const auto engine, Engine::open(io, store, key.cipher));
  const auto recorded = Service(*engine).call(request.dump(), {});
  TRY(engine->close());
  TRY(recorded);
  return ok();
}

// What add, remove and rotate do: opens the data key with a key that is there, lets `change` have
// it, writes the slots. Keys can be changed also when the store is too damaged to be opened: then
// nothing is recorded, and the command says so.
using Change = std::function<Result<Done>(KeySlots&, const StoreKey&)>;
Result<int> change_keys(const Options& options, const Context& context, const Change& change) {
  const auto io = make_posix_io();
  TRY_ASSIGN(const std::string store, store_of(options.target));
  TRY(check_encrypted(*io, store));
  TRY_ASSIGN(const FileLock lock, lock_key_slots(store));
  TRY_ASSIGN(const StoreKey key, unlock_store(*io, store));
  TRY_ASSIGN(KeySlots keys, read_key_slots(*io, store));
  TRY_ASSIGN(const Done done, change(keys, key));
  TRY(write_key_slots(*io, store, keys));
  if (const Status recorded = record(*io, store, key, done); !recorded) {
    fmt::print(stderr, "amberfs: the keys are changed, but the audit log does not say so: {}\n",
               recorded.error().to_string());
  }
  if (context.json) {
    TRY(print(Json{{"store", store}, {"keys", keys.slots().size()}}.dump() + "\n"));
    return kDone;
  }
  TRY(print(fmt::format("{}. Renew your copy of {}/keys.json.\n", done.text, store)));
  return kDone;
}

Result<Done> add_slot(const Options& options, KeySlots& keys, const StoreKey& key) {
  TRY_ASSIGN(const StoreSecret secret, new_secret(options));
  TRY_ASSIGN(const std::uint32_t id, keys.add(key.data_key, secret, options.label));
  return Done{fmt::format("Added key {}", id), "added", slot_of(keys, id)};
}

Result<Done> remove_slot(const Options& options, KeySlots& keys) {
  KeySlot slot = slot_of(keys, options.slot);
  TRY(keys.remove(options.slot));
  return Done{fmt::format("Removed key {}; {} left", options.slot, keys.slots().size()), "removed",
              std::move(slot)};
}

Result<Done> rotate_slot(const Options& options, KeySlots& keys, const StoreKey& key) {
  TRY_ASSIGN(const StoreSecret secret, new_secret(options));
  const std::uint32_t id = options.slot != 0 ? options.slot : key.slot;
  TRY(keys.replace(id, key.data_key, secret));
  return Done{fmt::format("Replaced key {}", id), "replaced", slot_of(keys, id)};
}

CLI::App* add_action(CLI::App& group, Context& context, const std::shared_ptr<Options>& options,
                     const char* name, const char* about) {
  auto* command = group.add_subcommand(name, about);
  command->add_option("STORE", options->target, "a store or a mounted directory")->required();
  add_json_flag(*command, context);
  return command;
}

void add_new_secret_options(CLI::App& command, Options& options) {
  auto* key = command.add_option("--new-key-file", options.fresh.key_file,
                                 "the new key: 32 random bytes or more");
  auto* passphrase = command.add_option("--new-passphrase-file", options.fresh.passphrase_file,
                                        "the new passphrase: its first line");
  key->type_name("FILE");
  passphrase->type_name("FILE")->excludes(key);
}

}  // namespace

void add_key(CLI::App& app, Context& context) {
  auto* group = app.add_subcommand("key", "the keys of an encrypted store: list, add, remove, …");
  group->require_subcommand(1);
  auto options = std::make_shared<Options>();

  auto* list = add_action(*group, context, options, "list", "which keys there are (not what)");
  set_run(*list, context, [options, &context] { return run_list(*options, context); });

  auto* add = add_action(*group, context, options, "add", "one more key or passphrase");
  add_key_options(*add);
  add_new_secret_options(*add, *options);
  add->add_option("--label", options->label, "what it is for, in a few words");
  set_run(*add, context, [options, &context] {
    return change_keys(*options, context, [&](KeySlots& keys, const StoreKey& key) {
      return add_slot(*options, keys, key);
    });
  });

  auto* remove = add_action(*group, context, options, "remove", "take a key away");
  add_key_options(*remove);
  remove->add_option("--slot", options->slot, "its number in amberfs key list")->required();
  set_run(*remove, context, [options, &context] {
    return change_keys(*options, context, [&](KeySlots& keys, const StoreKey&) {
      return remove_slot(*options, keys);
    });
  });

  auto* rotate = add_action(*group, context, options, "rotate", "another secret for a key");
  add_key_options(*rotate);
  add_new_secret_options(*rotate, *options);
  rotate->add_option("--slot", options->slot, "which; if not given, the one that was given");
  set_run(*rotate, context, [options, &context] {
    return change_keys(*options, context, [&](KeySlots& keys, const StoreKey& key) {
      return rotate_slot(*options, keys, key);
    });
  });
  group->footer(
      "A key that is there opens the data key, which never changes: no data is written anew, and\n"
      "who had a key and a copy of keys.json can go on with that copy (docs/SECURITY.md).\n"
      "  amberfs key add /var/lib/logstore --key-file k1 --new-passphrase-file p");
}

}  // namespace amberfs::tools
