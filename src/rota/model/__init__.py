"""What a job is: values, rules and errors. Pure; no input or output happens here."""
