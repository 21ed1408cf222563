"""What a run leaves for people to read: Allure's files, steps and attachments, words for the terminal."""

from hil.report.allure import attach, label_markers, show_line, step, write_environment

__all__ = ["attach", "label_markers", "show_line", "step", "write_environment"]
