// SPDX-License-Identifier: Apache-2.0
// How a command of `amberfs` is made: each cmd_NAME.cc adds one subcommand to the parser and
// returns an exit code when it runs.
#pragma once

#include "blockstore/base/result.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

namespace amberfs::tools {

// 0 done; 1 the answer is "no" (damage found, changes found with --exit-code); 2 the request is
// wrong; 3 it could not be done.
enum ExitCode : int { kDone = 0, kNo = 1, kUsage = 2, kCouldNot = 3 };

// What every command has: --json, and where its result goes.
struct Context {
  bool json = false;
  int exit_code = kDone;
};

// Prints the error on stderr (and as an object on stdout with --json); returns its exit code.
int report(const Context& context, const Error& error);

// Registers `run`, which returns the exit code or an error to report.
using Run = std::function<Result<int>()>;
void set_run(CLI::App& command, Context& context, Run run);
void add_json_flag(CLI::App& command, Context& context);

void add_init(CLI::App& app, Context& context);
void add_mount(CLI::App& app, Context& context);
void add_serve(CLI::App& app, Context& context);
void add_upgrade(CLI::App& app, Context& context);
void add_umount(CLI::App& app, Context& context);
void add_snapshot(CLI::App& app, Context& context);
void add_list(CLI::App& app, Context& context);
void add_diff(CLI::App& app, Context& context);
void add_cat(CLI::App& app, Context& context);
void add_restore(CLI::App& app, Context& context);
void add_rollback(CLI::App& app, Context& context);
void add_verify(CLI::App& app, Context& context);
void add_status(CLI::App& app, Context& context);
void add_gc(CLI::App& app, Context& context);
void add_repair(CLI::App& app, Context& context);
void add_audit(CLI::App& app, Context& context);
void add_key(CLI::App& app, Context& context);
void add_forget(CLI::App& app, Context& context);
void add_seal(CLI::App& app, Context& context);
void add_prove(CLI::App& app, Context& context);
void add_check_proof(CLI::App& app, Context& context);

// A verification key as text, or from a file that holds it. "" stays "".
[[nodiscard]] Result<std::string> read_key(const std::string& key_or_file);
// What is said of the verification key of a chain that begins (cmd_chain.cc).
[[nodiscard]] std::string describe_key(const std::string& key);

}  // namespace amberfs::tools
