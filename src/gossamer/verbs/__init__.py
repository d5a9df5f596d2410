"""What a user asks for, one file each; `import gossamer as gs` offers them all."""
