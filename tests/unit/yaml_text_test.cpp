// Text written into a configuration reads back as the same text.
#include "saferclip/config/yaml_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/core/error.h"
#include "saferclip/core/shell_word.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

TEST(YamlText, ReadsBackUnchanged) {
  for (const std::string text : {"plain",
                                 "a name: with colon",
                                 "# hash",
                                 "a #b",
                                 "ünï çødé 🦊",
                                 "~/x",
                                 "-dash",
                                 "- item",
                                 "",
                                 "null",
                                 "Yes",
                                 "12",
                                 "1e5",
                                 "0x1F",
                                 "12:30",
                                 "[a]",
                                 "{a: b}",
                                 "it's",
                                 "say \"hi\"",
                                 "back\\slash",
                                 "tab\tline\nend",
                                 "*star",
                                 "&anchor",
                                 "!tag",
                                 "@at",
                                 "%percent",
                                 " blank ",
                                 "../up/file.pt",
                                 "/abs/path",
                                 "./here",
                                 ".nan",
                                 "?"}) {
    std::vector<std::string> problems;
    const ConfigNode node = parse_config_value(yaml_text(text), "test", problems);
    EXPECT_TRUE(problems.empty()) << text;
    EXPECT_EQ(node.kind, ConfigNode::Kind::kScalar) << text;
    EXPECT_EQ(node.scalar, text);
  }
  EXPECT_EQ(yaml_text("runs/my-clip.v2"), "runs/my-clip.v2");
  EXPECT_THROW(yaml_text("caf\xE9"), ConfigError);
}

TEST(YamlText, PathsAreRelativeBelowTheFolderOnly) {
  const TemporaryFolder folder;
  EXPECT_EQ(yaml_input_path(folder / "a/b.jsonl", folder.path()), "a/b.jsonl");
  EXPECT_EQ(yaml_input_path(folder / "a b", folder.path()), "\"a b\"");
  EXPECT_EQ(yaml_input_path("/elsewhere/x", folder.path()), "/elsewhere/x");
  EXPECT_EQ(yaml_input_path(folder / "..x", folder.path()), "\"..x\"");
  EXPECT_EQ(yaml_input_path(folder / "~/x", folder.path()), "\"./~/x\"");
  EXPECT_EQ(yaml_input_path(folder.path() / "../other", folder.path()),
            (folder.path().parent_path() / "other").string());
}

TEST(YamlText, ShellWords) {
  EXPECT_EQ(shell_word("runs/a-b_1.yaml"), "runs/a-b_1.yaml");
  EXPECT_EQ(shell_word("my runs/a"), "'my runs/a'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word("~"), "'~'");
  EXPECT_EQ(shell_word(""), "''");
}

}  // namespace
}  // namespace saferclip
